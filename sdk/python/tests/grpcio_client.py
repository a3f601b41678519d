"""A client on grpcio, in a process of its own, since its threads and forks do not mix: prints what it saw as JSON."""

import json
import sys

import grpc

from cicd.plugins.pb import pipeline_pb2 as pb

channel = grpc.insecure_channel(f"unix:{sys.argv[1]}")


def unary(path, request, answer):
    return channel.unary_unary(
        path, request_serializer=request.SerializeToString, response_deserializer=answer.FromString
    )


SERVICE = "/cicd.plugin.v1.Pipeline/"
describe = unary(SERVICE + "Describe", pb.DescribeRequest, pb.Description)
cancel = unary(SERVICE + "Cancel", pb.CancelRequest, pb.CancelResponse)
run_job = channel.unary_stream(
    SERVICE + "RunJob",
    request_serializer=pb.RunJobRequest.SerializeToString,
    response_deserializer=pb.JobEvent.FromString,
)
raw = {"request_serializer": bytes, "response_deserializer": bytes}


def code_of(call):
    try:
        call()
    except grpc.RpcError as error:
        return error.code().name, error.details()
    return "OK", ""


seen = {}
seen["health"] = channel.unary_unary("/grpc.health.v1.Health/Check", **raw)(b"\x0a\x06plugin").hex()
seen["jobs"] = [job.name for job in describe(pb.DescribeRequest()).jobs]
seen["unknown"] = code_of(lambda: channel.unary_unary("/a.B/C", **raw)(b""))[0]
seen["too big"] = code_of(lambda: channel.unary_unary(SERVICE + "Describe", **raw)(b"x" * (4 * 1024 * 1024 + 1)))[0]
seen["compressed"] = code_of(
    lambda: channel.unary_unary(SERVICE + "Describe", **raw)(b"x" * 5000, compression=grpc.Compression.Gzip)
)[0]
seen["wrong params"] = (
    code_of(lambda: list(run_job(pb.RunJobRequest(job=sys.argv[2], params={"ä": "1"}), timeout=20)))
    if sys.argv[2] == "refused"
    else ""
)

if sys.argv[2] != "refused":
    size, last = 0, None
    call = run_job(pb.RunJobRequest(job=sys.argv[2], features=["summary", "log_events", "cancel"]), timeout=60)
    cancelled = False
    for event in call:
        last = event.WhichOneof("event")
        size += len(event.summary.markdown)
        if sys.argv[2] == "endless" and size > 5_000_000 and not cancelled:
            cancelled = True
            cancel(pb.CancelRequest(grace_s=5, reason="enough"))
    seen["size"] = size
    seen["last"] = last
    seen["status"] = event.result.status
    seen["message"] = event.result.message
    seen["second"] = code_of(lambda: list(run_job(pb.RunJobRequest(job=sys.argv[2]), timeout=20)))[0]

seen["shutdown"] = code_of(lambda: channel.unary_unary("/plugin.GRPCController/Shutdown", **raw)(b"", timeout=20))[0]
channel.close()
sys.stdout.write(json.dumps(seen))
