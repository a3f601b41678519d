"""Written by `proto/generate.py` from `proto/cicd/plugin/v1/pipeline.proto`; edits are lost."""

import abc
from typing import TYPE_CHECKING

from grpclib.client import Channel, UnaryStreamMethod, UnaryUnaryMethod
from grpclib.const import Cardinality, Handler

from cicd.plugins.pb import pipeline_pb2

if TYPE_CHECKING:
    from grpclib.server import Stream


class PipelineStub:
    """A client of cicd.plugin.v1.Pipeline."""

    def __init__(self, channel: Channel) -> None:
        self.Describe = UnaryUnaryMethod(
            channel, "/cicd.plugin.v1.Pipeline/Describe", pipeline_pb2.DescribeRequest, pipeline_pb2.Description
        )
        self.RunJob = UnaryStreamMethod(
            channel, "/cicd.plugin.v1.Pipeline/RunJob", pipeline_pb2.RunJobRequest, pipeline_pb2.JobEvent
        )
        self.Cancel = UnaryUnaryMethod(
            channel, "/cicd.plugin.v1.Pipeline/Cancel", pipeline_pb2.CancelRequest, pipeline_pb2.CancelResponse
        )
        self.Reply = UnaryUnaryMethod(
            channel, "/cicd.plugin.v1.Pipeline/Reply", pipeline_pb2.ReplyRequest, pipeline_pb2.ReplyResponse
        )


class PipelineBase(abc.ABC):
    """A server of cicd.plugin.v1.Pipeline."""

    @abc.abstractmethod
    async def Describe(self, stream: "Stream[pipeline_pb2.DescribeRequest, pipeline_pb2.Description]") -> None: ...

    @abc.abstractmethod
    async def RunJob(self, stream: "Stream[pipeline_pb2.RunJobRequest, pipeline_pb2.JobEvent]") -> None: ...

    @abc.abstractmethod
    async def Cancel(self, stream: "Stream[pipeline_pb2.CancelRequest, pipeline_pb2.CancelResponse]") -> None: ...

    @abc.abstractmethod
    async def Reply(self, stream: "Stream[pipeline_pb2.ReplyRequest, pipeline_pb2.ReplyResponse]") -> None: ...

    def __mapping__(self) -> dict[str, Handler]:
        return {
            "/cicd.plugin.v1.Pipeline/Describe": Handler(
                self.Describe, Cardinality.UNARY_UNARY, pipeline_pb2.DescribeRequest, pipeline_pb2.Description
            ),
            "/cicd.plugin.v1.Pipeline/RunJob": Handler(
                self.RunJob, Cardinality.UNARY_STREAM, pipeline_pb2.RunJobRequest, pipeline_pb2.JobEvent
            ),
            "/cicd.plugin.v1.Pipeline/Cancel": Handler(
                self.Cancel, Cardinality.UNARY_UNARY, pipeline_pb2.CancelRequest, pipeline_pb2.CancelResponse
            ),
            "/cicd.plugin.v1.Pipeline/Reply": Handler(
                self.Reply, Cardinality.UNARY_UNARY, pipeline_pb2.ReplyRequest, pipeline_pb2.ReplyResponse
            ),
        }
