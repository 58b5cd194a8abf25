output "database" {
  description = "The layer, for the argument `database` of a web layer"
  value       = mongo_replset.db
  sensitive   = true
}

output "uri" {
  description = "Connection string that names every member"
  value       = mongo_replset.db.uri
  sensitive   = true
}

output "members" {
  description = "Address and port of every member, by name"
  value       = { for machine in mongo_replset.db.machines : machine.name => "${machine.address}:${machine.port}" }
}
