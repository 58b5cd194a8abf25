variable "app" {
  description = "Folder of the application: PHP and static files, copied to every node"
  type        = string
}

variable "nodes" {
  description = "How many web nodes"
  type        = number
  default     = 2

  validation {
    condition     = var.nodes >= 1 && var.nodes <= 100
    error_message = "Between 1 and 100 web nodes are possible."
  }
}

variable "prefix" {
  description = "Comes before the names of both layers, so that one stack can have several farms"
  type        = string
  default     = ""
}

variable "environment" {
  description = "Environment variables of the application"
  type        = map(string)
  default     = {}
  sensitive   = true
}

variable "database" {
  description = "The database that the application talks to: the output `database` of mongo-replset; none if not set"
  type        = any
  default     = null
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
  description = "The cloud of both layers; a layer's own variable wins; local if not set"
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

variable "image" {
  description = "The image of all machines by the cloud's own name or id, or \"bake\"; the newest of `os` if not set"
  type        = string
  default     = null
}

variable "os" {
  description = "The operating system of all machines, such as debian-12"
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
