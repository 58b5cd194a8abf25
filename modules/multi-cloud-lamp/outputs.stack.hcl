output "url" {
  description = "Where the application answers"
  value       = module.lamp.url
}

output "nodes" {
  description = "Every machine: address and port by name"
  value       = module.lamp.nodes
}
