resource "test_thing" "whole" {
  listener = { port = 80, hosts = [{ name = "a" }] }
}

resource "test_thing" "typo" {
  listener = { prot = 80 }
}

resource "test_thing" "deep" {
  listener = var.on ? { port = 80, hosts = [{ name = "a", weight = 1 }] } : null
}

# More than is asked for, by intention.
locals {
  listener = { port = 80, protocol = "http" }
}

resource "test_thing" "object" {
  listener = local.listener
}

variable "on" { default = true }
