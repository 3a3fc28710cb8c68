"""Both ends of gRPC, as its own library speaks it.

    peer.py serve                   says its port, and serves until it is told to end
    peer.py ask ADDRESS [CA NAME]   calls every method there, in TLS if there is the file of an authority and a name that
                                    the certificate is for; says a line for each
"""

import concurrent.futures
import sys
import threading

import grpc

SERVICE = "linkspan.Test"
PIECE = b"x" * 100_000


def same(message):
    return message


def unary(request, context):
    """Sends back the message, and the metadata `asked` as `heard`, before and after it."""
    asked = dict(context.invocation_metadata()).get("asked", "")
    context.send_initial_metadata([("heard", asked)])
    context.set_trailing_metadata([("heard-bin", asked.encode() + b"\0\xff")])
    return request


def down(request, context):
    """Sends so many pieces."""
    for _ in range(int(request)):
        yield PIECE


def up(requests, context):
    """Says how many bytes came."""
    return str(sum(len(request) for request in requests)).encode()


def both(requests, context):
    """Sends each message back as soon as it is there."""
    yield from requests


def fails(request, context):
    """Says no, with an explanation that has to be escaped."""
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "nein: ä%")


def hangs(request, context):
    """Answers when the caller has gone."""
    gone = threading.Event()
    context.add_callback(gone.set)
    yield b"first"
    gone.wait(60)
    GONE.release()


GONE = threading.Semaphore(0)


def left(request, context):
    """Waits until a caller of `hangs` has gone."""
    return b"gone" if GONE.acquire(timeout=60) else b"there"


def serve():
    unary_of = lambda method: grpc.unary_unary_rpc_method_handler(method, same, same)
    stream_of = lambda method: grpc.unary_stream_rpc_method_handler(method, same, same)
    methods = {
        "Unary": unary_of(unary),
        "Down": stream_of(down),
        "Up": grpc.stream_unary_rpc_method_handler(up, same, same),
        "Both": grpc.stream_stream_rpc_method_handler(both, same, same),
        "Fails": unary_of(fails),
        "Hangs": stream_of(hangs),
        "Left": unary_of(left),
    }
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(64))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, methods)])
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    server.wait_for_termination()


def ask(address, *secure):
    if secure:
        with open(secure[0], "rb") as file:
            credentials = grpc.ssl_channel_credentials(file.read())
        options = [("grpc.ssl_target_name_override", secure[1])]
        channel = grpc.secure_channel(address, credentials, options)
    else:
        channel = grpc.insecure_channel(address)
    path = f"/{SERVICE}/"

    call = channel.unary_unary(path + "Unary", same, same).with_call
    answer, told = call(b"hello", metadata=[("asked", "me")], timeout=60)
    print("unary", answer.decode(), dict(told.initial_metadata())["heard"], dict(told.trailing_metadata())["heard-bin"])

    pieces = list(channel.unary_stream(path + "Down", same, same)(b"50", timeout=60))
    print("down", len(pieces), sum(map(len, pieces)))
    print("up", channel.stream_unary(path + "Up", same, same)((PIECE for _ in range(50)), timeout=60).decode())

    # Each is sent only when the one before has come back.
    back = threading.Semaphore(1)

    def each():
        for number in range(100):
            back.acquire()
            yield str(number).encode()

    came = []
    for message in channel.stream_stream(path + "Both", same, same)(each(), timeout=60):
        came.append(message)
        back.release()
    print("both", len(came), came == [str(number).encode() for number in range(100)])

    try:
        channel.unary_unary(path + "Fails", same, same)(b"", timeout=60)
    except grpc.RpcError as error:
        print("fails", error.code().name, error.details())
    try:
        channel.unary_unary(path + "Nothing", same, same)(b"", timeout=60)
    except grpc.RpcError as error:
        print("nothing", error.code().name)

    hanging = channel.unary_stream(path + "Hangs", same, same)(b"", timeout=60)
    first = next(hanging)
    hanging.cancel()
    print("hangs", first.decode(), channel.unary_unary(path + "Left", same, same)(b"", timeout=90).decode())
    try:
        list(channel.unary_stream(path + "Hangs", same, same)(b"", timeout=0.5))
    except grpc.RpcError as error:
        left = channel.unary_unary(path + "Left", same, same)(b"", timeout=90).decode()
        print("late", error.code().name, left)

    # Many at once, over one connection.
    many = [channel.unary_unary(path + "Unary", same, same).future(str(n).encode(), timeout=60) for n in range(200)]
    print("many", all(call.result() == str(number).encode() for number, call in enumerate(many)))


if __name__ == "__main__":
    {"serve": serve, "ask": ask}[sys.argv[1]](*sys.argv[2:])
