a = 1 + 2 * 3 - -4 % 5 / 6
b = !x && y || z == w != v
c = a < b ? 1 : a >= b ? 2 : 3
d = (1
  + 2)
e = a /* inline */ + b // rest
f = "x" == y
