locals { via = test_thing.db.id }
resource "test_thing" "lb" {
  name       = test_thing.web.id
  depends_on = [data.test_info.i]
}
resource "test_thing" "web" { name = local.via }
resource "test_thing" "db" {}
data "test_info" "i" { name = "x" }
provider "lampwright" { region = "eu" }
