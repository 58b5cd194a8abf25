module "counted" {
  source = "./m"
  count  = 2
}
module "outer" {
  source   = "./outer"
  for_each = toset(["a"])
}
module "waits" {
  source     = "./m"
  depends_on = [test_thing.x]
}
module "fine" {
  source = "./m"
}
module "proxy" {
  source = "./proxy"
  count  = 2
}
resource "test_thing" "x" {
}
### m/main.tf
provider "lampwright" {
  region = "eu"
}
### outer/main.tf
module "inner" {
  source = "../m"
}
### proxy/main.tf
provider "lampwright" {
}
