terraform {
  required_version = ">= 99"
  required_providers {
    test = {
      source  = "lampwright/lampwright"
      version = "newest"
    }
  }
}
module "m" {
  source = "./m"
}
module "n" {
  source = "./n"
}
module "fine" {
  source = "./fine"
}
### m/main.tf
terraform {
  required_version = "nonsense"
}
### n/main.tf
terraform {
  required_version = "~> 1.5, < 1.11.4"
}
### fine/main.tf
terraform {
  required_version = ">= 1.3, < 2.0"
}
