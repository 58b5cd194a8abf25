module "gone" { source = "./gone" }
module "remote" { source = "terraform-aws-modules/vpc/aws" }
module "m" {
  source = "./m"
  wrong  = 1
}
output "o" { value = module.m.nothing }
### m/main.stack.hcl
terraform {
  backend "local" {}
}
variable "right" {}
