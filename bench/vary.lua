-- For wrk: no two requests alike, so that nothing remembered of the one before can help.
local count = 0
request = function()
    count = count + 1
    wrk.headers["X-Request-Id"] = string.format("4f5c2d8e-1b2c-4d3e-9f40-%012x", count)
    return wrk.format(nil, "/items/" .. count .. "?expand=prices")
end
