a = x.y.z[0]["k"].w
b = x.0.y
c = x.*.y
d = x[*].y[0]
e = f(a, b...)
f = provider::ns::fn(1)
g = f(
  1,
  2,
)
h = x[f(1)].y
i = module.a.b . c
