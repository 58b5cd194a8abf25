output "trimmed_line_ends" {
  value = <<-EOT
	  a
	    b ${1}

	   %{ for x in [1, 2] ~}
	   z${x}
	   %{ endfor ~}
	  EOT
}
output "plain" {
  value = <<EOT
  kept
EOT
}
