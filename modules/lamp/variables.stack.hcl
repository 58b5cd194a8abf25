variable "web_nodes" {
  description = "How many web nodes"
  type        = number
  default     = 2

  validation {
    condition     = var.web_nodes >= 1 && var.web_nodes <= 100
    error_message = "Between 1 and 100 web nodes are possible."
  }
}

variable "db_members" {
  description = "How many members the replica set has; an odd number keeps a majority through the loss of the most"
  type        = number
  default     = 3

  validation {
    condition     = var.db_members >= 1 && var.db_members <= 50
    error_message = "A replica set has 1 to 50 members."
  }
}

variable "db_disk_gb" {
  description = "Size of each database member's data disk in GB"
  type        = number
  default     = 10
}

variable "db_on_destroy" {
  description = "What becomes of the database's data when it is destroyed or replaced: keep leaves it on its disks, delete deletes it"
  type        = string
  default     = "keep"
}

variable "app" {
  description = "Folder of the PHP application; the demonstration if not set"
  type        = string
  default     = null
}

variable "environment" {
  description = "Environment variables of the application"
  type        = map(string)
  default     = {}
  sensitive   = true
}

variable "algorithm" {
  description = "How the load balancer chooses a web node: roundrobin, leastconn, first, random, source, static-rr"
  type        = string
  default     = "roundrobin"
}

variable "port" {
  description = "The port that the load balancer listens on"
  type        = number
  default     = 8080
}

variable "cloud" {
  description = "The cloud of all layers; a layer's own variable wins"
  type        = string
  default     = null
}

variable "lb_cloud" {
  description = "The cloud of the load balancer"
  type        = string
  default     = null
}

variable "web_cloud" {
  description = "The cloud of the web nodes"
  type        = string
  default     = null
}

variable "db_cloud" {
  description = "The cloud of the database"
  type        = string
  default     = null
}

variable "image" {
  description = "The image of all machines by the cloud's own name or id; the newest of `os` if not set"
  type        = string
  default     = null
}

variable "os" {
  description = "The operating system of all machines, such as debian-12; debian-12 if not set"
  type        = string
  default     = null
}

variable "size" {
  description = "The size of all machines by the cloud's own name; the smallest that fits if not set"
  type        = string
  default     = null
}

variable "public" {
  description = "Whether layers reach each other by public addresses, as they have to when they are on different clouds"
  type        = bool
  default     = null
}
