variable "db_members" {
  description = "How many members the database has that both applications share"
  type        = number
  default     = 3
}

variable "db_on_destroy" {
  description = "What becomes of the database's data when it is destroyed or replaced: keep leaves it on its disks, delete deletes it"
  type        = string
  default     = "keep"
}

variable "catalogue_nodes" {
  description = "How many web nodes the catalogue has"
  type        = number
  default     = 2
}

variable "cart_nodes" {
  description = "How many web nodes the cart has"
  type        = number
  default     = 2
}

variable "catalogue_port" {
  description = "The port that the catalogue's load balancer listens on"
  type        = number
  default     = 8080
}

variable "cart_port" {
  description = "The port that the cart's load balancer listens on"
  type        = number
  default     = 8081
}

variable "cloud" {
  description = "The cloud of all layers; local if not set"
  type        = string
  default     = null
}

variable "image" {
  description = "The image of all machines by the cloud's own name or id, or \"bake\""
  type        = string
  default     = null
}
