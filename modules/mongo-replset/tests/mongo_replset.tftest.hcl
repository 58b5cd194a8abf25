# What the module plans, file by file, and what it refuses.

run "three_members" {
  command  = plan
  snapshot = true

  assert {
    condition     = length(mongo_replset.db.machines) == 3
    error_message = "Three members are the default."
  }
}

run "no_members" {
  command = plan

  variables {
    members = 0
  }

  expect_failures = [var.members]
}
