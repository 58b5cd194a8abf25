a = 
b = 2
c {
  d e
}
f = )
g = 3
