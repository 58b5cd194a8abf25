# What the module plans, file by file, and what it refuses.

variables {
  app = "./app"
}

run "two_nodes" {
  command  = plan
  snapshot = true

  assert {
    condition     = length(lamp_cluster.web.machines) == 2 && lb_pool.lb.name == "lb"
    error_message = "Two nodes are the default, and names have no prefix."
  }
}

run "second_farm" {
  command  = plan
  snapshot = true

  variables {
    prefix = "blog-"
    port   = 8090
  }

  assert {
    condition     = lamp_cluster.web.machines[0].name == "blog-web-1"
    error_message = "The prefix comes before the names of machines."
  }
}

run "no_nodes" {
  command = plan

  variables {
    nodes = 0
  }

  expect_failures = [var.nodes]
}
