-- For wrk: the hosts of HOSTS routes in turn, so that no connection sends the same head twice in a row.
local hosts = tonumber(os.getenv("HOSTS"))
local requests, count = {}, 0
init = function()
    for number = 0, hosts - 1 do
        wrk.headers["Host"] = string.format("app-%d.default.example", number)
        requests[number] = wrk.format(nil, "/items/1?expand=prices")
    end
end
request = function()
    count = (count + 1) % hosts
    return requests[count]
end
