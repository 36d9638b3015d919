"""Unary gRPC with grpcio at both ends.

    python -m bench.peers.grpc_echo serve PORT                 the app: answers with what it was sent
    python -m bench.peers.grpc_echo call PORT RATE SECONDS     the client, at a constant rate

As in `bench.peers.steady`, a call's latency counts from when it was due and calls do not wait for one another. Prints
{"p50": ms, "p99": ms, "failed": …, "requests": …}.
"""

import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import quantiles

import grpc

METHOD = "/bench.Echo/Unary"
MESSAGE = b"x" * 48
WARM_UP = 200
PATIENCE = 5.0


def _echo(request: bytes, context: grpc.ServicerContext) -> bytes:
    return request


def serve(port: int) -> None:
    server = grpc.server(ThreadPoolExecutor(4))
    handler = grpc.unary_unary_rpc_method_handler(_echo)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Echo", {"Unary": handler}),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


def call(port: int, rate: float, seconds: float) -> dict[str, float]:
    total = int(rate * seconds)
    taken: list[float] = []
    failures: list[grpc.StatusCode] = []
    over = threading.Semaphore(0)

    def finish(due: float, done: grpc.Future) -> None:
        if done.code() is grpc.StatusCode.OK:
            taken.append((time.perf_counter() - due) * 1000)
        else:
            failures.append(done.code())
        over.release()

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        unary = channel.unary_unary(METHOD)
        for _ in range(WARM_UP):
            unary(MESSAGE, timeout=PATIENCE)
        began = time.perf_counter()
        for number in range(total):
            due = began + number / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            future = unary.future(MESSAGE, timeout=PATIENCE)
            future.add_done_callback(lambda done, due=due: finish(due, done))
        for _ in range(total):
            over.acquire(timeout=2 * PATIENCE)
    cuts = quantiles(taken, n=100)
    return {"p50": cuts[49], "p99": cuts[98], "failed": len(failures), "requests": total}


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]))
    else:
        print(json.dumps(call(int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))))
