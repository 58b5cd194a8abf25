# comment
// another
/* and
   a block comment */
stack "shop" { description = "Web shop" }
one_line {}
resource "lamp_cluster" "web" {
  nodes = 2 # trailing
  lifecycle { create_before_destroy = true }

  nested "a" b {
    x = 1
  }
}
ключ = 1
