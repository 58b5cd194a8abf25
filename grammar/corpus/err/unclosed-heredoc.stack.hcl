a = <<EOT
text
b = 1
