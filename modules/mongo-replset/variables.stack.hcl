variable "name" {
  description = "What the layer and its machines are called: NAME-1, NAME-2, .."
  type        = string
  default     = "db"
}

variable "members" {
  description = "How many members the replica set has; an odd number keeps a majority through the loss of the most"
  type        = number
  default     = 3

  validation {
    condition     = var.members >= 1 && var.members <= 50
    error_message = "A replica set has 1 to 50 members."
  }
}

variable "disk_gb" {
  description = "Size of each member's data disk in GB"
  type        = number
  default     = 10
}

variable "on_destroy" {
  description = "What becomes of the set's data when it is destroyed or replaced: keep leaves it on its disks, delete deletes it"
  type        = string
  default     = "keep"
}

variable "mongodb_version" {
  description = "The version of mongod that is required, such as 7.0; whatever is installed if not set"
  type        = string
  default     = null
}

variable "replica_set" {
  description = "The name of the replica set"
  type        = string
  default     = "rs0"
}

variable "cloud" {
  description = "The cloud of the members; local if not set"
  type        = string
  default     = null
}

variable "image" {
  description = "The image of the machines by the cloud's own name or id, or \"bake\"; the newest of `os` if not set"
  type        = string
  default     = null
}

variable "os" {
  description = "The operating system of the machines, such as debian-12"
  type        = string
  default     = null
}

variable "size" {
  description = "The size of the machines by the cloud's own name; the smallest that fits if not set"
  type        = string
  default     = null
}

variable "public" {
  description = "Whether the members are reached by their public addresses, as they have to be from another cloud"
  type        = bool
  default     = null
}
