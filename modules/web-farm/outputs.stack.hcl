output "url" {
  description = "Where the application answers"
  value       = lb_pool.lb.url
}

output "nodes" {
  description = "Every machine: address and port by name"
  value = {
    for machine in concat(lb_pool.lb.machines, lamp_cluster.web.machines) :
    machine.name => "${machine.address}:${machine.port}"
  }
}
