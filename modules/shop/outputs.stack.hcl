output "catalogue_url" {
  description = "Where the catalogue answers"
  value       = module.catalogue.url
}

output "cart_url" {
  description = "Where the cart answers"
  value       = module.cart.url
}
