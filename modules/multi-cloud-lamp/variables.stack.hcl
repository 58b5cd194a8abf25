variable "lb_cloud" {
  description = "The cloud of the load balancer"
  type        = string
  default     = "local"
}

variable "web_cloud" {
  description = "The cloud of the web nodes"
  type        = string
  default     = "local"
}

variable "db_cloud" {
  description = "The cloud of the database"
  type        = string
  default     = "local"
}

variable "web_nodes" {
  description = "How many web nodes"
  type        = number
  default     = 2
}

variable "db_members" {
  description = "How many members the replica set has"
  type        = number
  default     = 3
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

variable "image" {
  description = "The image of all machines, by a name that every cloud has, or \"bake\"; the newest of `os` if not set"
  type        = string
  default     = null
}

variable "os" {
  description = "The operating system of all machines, such as debian-12"
  type        = string
  default     = null
}
