moved {
  from = a
  to   = b
}
terraform {
  cloud {}
}
x = 1
