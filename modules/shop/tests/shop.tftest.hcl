# What the shop plans: nine machines, and both applications know the same database.

run "default" {
  command  = plan
  snapshot = true
}

run "cart_without_catalogue" {
  command = plan

  override_module {
    target  = module.catalogue
    outputs = { url = "http://catalogue.example" }
  }

  assert {
    condition     = output.catalogue_url == "http://catalogue.example"
    error_message = "The catalogue is somebody else's here."
  }
}
