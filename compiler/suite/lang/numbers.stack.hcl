output "third" { value = substr(tostring(1 / 3), 0, 10) }
output "sum" { value = 0.1 + 0.2 }
output "big" { value = 12345678901234567890 * 10 }
output "mixed" { value = "1" + 1 }
output "rest" { value = -5 % 3 }
output "prec" { value = 1 + 2 * 3 == 7 && !false || false }
output "eq" { value = [1 == "1", null == null, [1] == [1], "a" != "b"] }
output "cond" { value = true ? 1 : "x" }
output "try" { value = [try(null.x, "fallback"), can(tonumber("x"))] }
