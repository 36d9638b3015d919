-- For wrk: 16 KiB up with every request.
wrk.method = "POST"
wrk.body = string.rep("u", 16384)
wrk.headers["Content-Type"] = "application/octet-stream"
