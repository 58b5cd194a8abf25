resource "terraform_data" "x" {}

locals {
  id     = terraform_data.x.id
  any    = terraform_data.x.output
  list   = split(",", terraform_data.x.id)
  number = 1
  template  = "Hello, $${name}!"
  templates = { a = "Bye, $${name}!" }

  plain = <<EOT
a
  b
EOT
  indented = <<-EOT
    a
      b

    c
  EOT
  blanks = <<-EOT
    foo
       
    bar
 
    baz
  EOT
  tabs = <<-EOT
	a
		b
	EOT
  trims = <<-EOT
    a
    %{ if true ~}
    b
    %{ endif ~}
    c
  EOT
  trims_for = <<-EOT
    %{ for x in ["x", "y"] ~}
    item ${x}
    %{ endfor ~}
    end
  EOT
  trims_plain = <<EOT
  %{~ for x in ["x", "y"] ~}
  item ${x}
  %{~ endfor ~}
  end
EOT
  escapes = <<EOT
a\nb "q" $${x} %%{y} $x \\
EOT
  interpolated = <<-EOT
    ${"a"}
      ${"b"} c
  EOT
  if_else = <<-EOT
    %{ if false }
    yes
    %{ else }
    no
    %{ endif }
  EOT
  if_else_trimmed = <<-EOT
    %{~ if false ~}
    yes
    %{~ else ~}
    no
    %{~ endif ~}
  EOT
  nested = <<-EOT
    a ${<<-IN
      inner
        more
    IN
    } b
  EOT
  first_interpolated = <<-EOT
      ${"x"}
    y
  EOT
  all_indented = <<-EOT
      a
      b
  EOT
  empty = <<EOT
EOT
  one_empty = <<-EOT

  EOT
  marker_indented = <<EOT
  a
  EOT
  graphemes = <<-EOT
    e${"x"}
   	b
  EOT
  trim_at_line_end = <<-EOT
    a ${~ "b" ~}
    c
      d ${"e" ~}

    f
  EOT
  trim_text = <<-EOT
    a ${~ " b " ~} c
    d
  EOT
  only_interpolation = <<EOT
${"a"}
EOT
  value_lines = <<-EOT
    x ${"p\n  q"} y
      z
  EOT
}
