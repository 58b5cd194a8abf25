# What the module plans where each layer is on another cloud.

provider "lampwright" {
  scope = "shop"
  cloud "here" {
    driver   = "local"
    settings = { egress = "198.51.100.7/32" }
  }
  cloud "paris" {
    driver   = "aws"
    settings = { region = "eu-west-3" }
  }
  cloud "rome" {
    driver   = "openstack"
    settings = { clouds_yaml_name = "rome", floating_network = "public" }
  }
}

mock_provider "lampwright" {
  alias           = "nothing"
  override_during = plan
  mock_resource "lb_pool" {}
}

run "three_clouds" {
  command = plan
  providers = {
    lampwright = lampwright.nothing
  }

  variables {
    lb_cloud  = "here"
    web_cloud = "paris"
    db_cloud  = "rome"
  }

  assert {
    condition     = output.url != null
    error_message = "The load balancer has a URL."
  }
}
