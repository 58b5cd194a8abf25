a = [1, 2,
  3,
]
b = { a = 1, b : 2, "c" = 3, (d) = 4 }
c = {
  a = 1
  b = [ for x in y : x ] # comment
  "${k}" = { deep = true }
}
d = [for k, v in m : "${k}=${v}" if v != null]
e = { for k, v in m : k => v... if v }
f = {}
g = []
