moved {
  from = a
  to   = b
}
terraform {
  backend "s3" {}
}
x = 1
