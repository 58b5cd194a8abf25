variable "a" {}
variable "a" {}
locals { x = 1 }
locals { x = 2 }
output "o" { value = 1 }
output "o" { value = 2 }
resource "test_thing" "t" {}
resource "test_thing" "t" { name = 1, nodes = 2 }
