variable "settings" { default = { b = 2, a = 1 } }
resource "test_thing" "a" {
  setting { key = "first" }
  dynamic "setting" {
    for_each = var.settings
    content {
      key   = setting.key
      value = setting.value
    }
  }
  dynamic "cloud" {
    for_each = toset(["x"])
    iterator = it
    labels   = [it.value]
    content { key = it.key }
  }
}
