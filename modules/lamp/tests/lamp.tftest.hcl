# What the module plans, file by file, and what it refuses.

run "small" {
  command  = plan
  snapshot = true

  assert {
    condition     = length(lamp_cluster.web.machines) == 2 && length(mongo_replset.db.machines) == 3
    error_message = "Two web nodes and three members are the default."
  }
}

run "grown" {
  command  = plan
  snapshot = true

  variables {
    web_nodes = 4
    algorithm = "leastconn"
  }

  assert {
    condition     = lb_pool.lb.algorithm == "leastconn" && lamp_cluster.web.machines[3].name == "web-4"
    error_message = "What the caller says is what the layers get."
  }
}

run "no_nodes" {
  command = plan

  variables {
    web_nodes = 0
  }

  expect_failures = [var.web_nodes]
}
