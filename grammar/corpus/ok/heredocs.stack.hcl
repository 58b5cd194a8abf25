a = <<EOT
line ${x}
  EOTX
%{ if y ~}
  z
%{ endif }
EOT
b = <<-E
    indented
      ${<<I
inner
I
}
    E
c = f(<<X
1
X
)
d = [<<X
1
X
, 2]
