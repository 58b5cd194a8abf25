stack "demo" {
  description = "The shop on this machine"
}

module "shop" {
  source        = "../.."
  db_on_destroy = "delete" # nothing of a demonstration stays
}

output "catalogue_url" { value = module.shop.catalogue_url }
output "cart_url" { value = module.shop.cart_url }
