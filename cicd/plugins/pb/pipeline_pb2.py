"""Written by `proto/generate.py` from `proto/cicd/plugin/v1/pipeline.proto`; edits are lost."""

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

DESCRIPTOR = descriptor_pool.Default().AddSerializedFile(
    b'\n\x1dcicd/plugin/v1/pipeline.proto\x12\x0ecicd.plugin.v1"\x11\n\x0fDescribeRequest"\x9a\x03\n'
    b"\x0bDescription\x12\x12\n\x04name\x18\x01 \x01(\tR\x04name\x12 \n\x0bdescription\x18\x02 \x01(\tR\x0bdescription\x12-\n\x06"
    b"params\x18\x03 \x03(\x0b2\x15.cicd.plugin.v1.ParamR\x06params\x12'\n\x04jobs\x18\x04 \x03(\x0b2\x13.cicd.plugi"
    b"n.v1.JobR\x04jobs\x12\x1d\n\ndepends_on\x18\x05 \x03(\tR\tdependsOn\x123\n\x08triggers\x18\x06 \x03(\x0b2\x17.cicd"
    b".plugin.v1.TriggerR\x08triggers\x12*\n\x11max_parallel_runs\x18\x07 \x01(\rR\x0fmaxParallelRu"
    b'ns\x12\x1a\n\x08features\x18\x08 \x03(\tR\x08features\x12\x10\n\x03sdk\x18\t \x01(\tR\x03sdk\x12"\n\rrun_timeout_s\x18\n \x01('
    b'\x01R\x0brunTimeoutS\x12+\n\x11cancel_superseded\x18\x0c \x01(\x08R\x10cancelSuperseded"\xe5\x01\n\x05Param\x12'
    b"\x12\n\x04name\x18\x01 \x01(\tR\x04name\x12-\n\x04type\x18\x02 \x01(\x0e2\x19.cicd.plugin.v1.ParamTypeR\x04type\x12 \n\x0b"
    b"description\x18\x03 \x01(\tR\x0bdescription\x12\x1d\n\x07default\x18\x04 \x01(\tH\x00R\x07default\x88\x01\x01\x12\x18\n\x07choic"
    b"es\x18\x05 \x03(\tR\x07choices\x12\x1a\n\x08required\x18\x06 \x01(\x08R\x08required\x12\x16\n\x06secret\x18\x07 \x01(\x08R\x06secretB"
    b'\n\n\x08_default"\x9d\x01\n\x07Trigger\x12\x12\n\x04kind\x18\x01 \x01(\tR\x04kind\x12A\n\x08settings\x18\x02 \x03(\x0b2%.cicd.p'
    b"lugin.v1.Trigger.SettingsEntryR\x08settings\x1a;\n\rSettingsEntry\x12\x10\n\x03key\x18\x01 \x01(\t"
    b'R\x03key\x12\x14\n\x05value\x18\x02 \x01(\tR\x05value:\x028\x01"\xee\x04\n\x03Job\x12\x12\n\x04name\x18\x01 \x01(\tR\x04name\x12\x14\n\x05title\x18\x02'
    b" \x01(\tR\x05title\x12*\n\x05needs\x18\x03 \x03(\x0b2\x14.cicd.plugin.v1.NeedR\x05needs\x12\x18\n\x07secrets\x18\x04 \x03"
    b"(\tR\x07secrets\x12\x1b\n\ttimeout_s\x18\x05 \x01(\x01R\x08timeoutS\x12+\n\x05retry\x18\x06 \x01(\x0b2\x15.cicd.plugin."
    b"v1.RetryR\x05retry\x12#\n\nidempotent\x18\x07 \x01(\x08H\x00R\nidempotent\x88\x01\x01\x12\x16\n\x06labels\x18\x08 \x03(\tR\x06"
    b'labels\x12@\n\tresources\x18\t \x03(\x0b2".cicd.plugin.v1.Job.ResourcesEntryR\tresourc'
    b"es\x12+\n\x11concurrency_group\x18\n \x01(\tR\x10concurrencyGroup\x12#\n\rallow_failure\x18\x0b \x01(\x08"
    b"R\x0callowFailure\x12\x1a\n\x08approval\x18\x0c \x01(\tR\x08approval\x12\x1b\n\tcache_key\x18\r \x01(\tR\x08cacheKe"
    b"y\x124\n\x08checkout\x18\x0e \x01(\x0e2\x18.cicd.plugin.v1.CheckoutR\x08checkout\x12 \n\x0bdescription"
    b"\x18\x0f \x01(\tR\x0bdescription\x1a<\n\x0eResourcesEntry\x12\x10\n\x03key\x18\x01 \x01(\tR\x03key\x12\x14\n\x05value\x18\x02 \x01(\t"
    b'R\x05value:\x028\x01B\r\n\x0b_idempotent"@\n\x04Need\x12\x10\n\x03job\x18\x01 \x01(\tR\x03job\x12&\n\x02on\x18\x02 \x01(\x0e2\x16.cic'
    b'd.plugin.v1.NeedOnR\x02on"P\n\x05Retry\x12\x1a\n\x08attempts\x18\x01 \x01(\rR\x08attempts\x12\x1b\n\tbackoff'
    b'_s\x18\x02 \x01(\x01R\x08backoffS\x12\x0e\n\x02on\x18\x03 \x03(\tR\x02on"A\n\x03Git\x12\x10\n\x03url\x18\x01 \x01(\tR\x03url\x12\x10\n\x03ref\x18\x02 \x01'
    b'(\tR\x03ref\x12\x16\n\x06commit\x18\x03 \x01(\tR\x06commit"\x81\x01\n\x07Outputs\x12;\n\x06values\x18\x01 \x03(\x0b2#.cicd.plu'
    b"gin.v1.Outputs.ValuesEntryR\x06values\x1a9\n\x0bValuesEntry\x12\x10\n\x03key\x18\x01 \x01(\tR\x03key\x12\x14\n"
    b'\x05value\x18\x02 \x01(\tR\x05value:\x028\x01"\xee\x05\n\rRunJobRequest\x12\x10\n\x03run\x18\x01 \x01(\tR\x03run\x12\x10\n\x03job\x18\x02 \x01'
    b"(\tR\x03job\x12\x18\n\x07attempt\x18\x03 \x01(\rR\x07attempt\x12\x1c\n\tworkspace\x18\x04 \x01(\tR\tworkspace\x12\x19\n\x08tem"
    b"p_dir\x18\x05 \x01(\tR\x07tempDir\x12A\n\x06params\x18\x06 \x03(\x0b2).cicd.plugin.v1.RunJobRequest.Pa"
    b"ramsEntryR\x06params\x12D\n\x07secrets\x18\x07 \x03(\x0b2*.cicd.plugin.v1.RunJobRequest.Secr"
    b"etsEntryR\x07secrets\x12>\n\x05needs\x18\x08 \x03(\x0b2(.cicd.plugin.v1.RunJobRequest.NeedsE"
    b"ntryR\x05needs\x12\x1d\n\ndeadline_s\x18\t \x01(\x01R\tdeadlineS\x12%\n\x03git\x18\n \x01(\x0b2\x13.cicd.plugin."
    b"v1.GitR\x03git\x12\x14\n\x05fence\x18\x0b \x01(\tR\x05fence\x12 \n\x0btraceparent\x18\x0c \x01(\tR\x0btraceparent\x12\x1a\n"
    b"\x08features\x18\r \x03(\tR\x08features\x12\x1a\n\x08pipeline\x18\x0e \x01(\tR\x08pipeline\x12\x1d\n\nrun_number\x18\x0f "
    b"\x01(\x04R\trunNumber\x1a9\n\x0bParamsEntry\x12\x10\n\x03key\x18\x01 \x01(\tR\x03key\x12\x14\n\x05value\x18\x02 \x01(\tR\x05value:"
    b"\x028\x01\x1a:\n\x0cSecretsEntry\x12\x10\n\x03key\x18\x01 \x01(\tR\x03key\x12\x14\n\x05value\x18\x02 \x01(\tR\x05value:\x028\x01\x1aQ\n\nNee"
    b"dsEntry\x12\x10\n\x03key\x18\x01 \x01(\tR\x03key\x12-\n\x05value\x18\x02 \x01(\x0b2\x17.cicd.plugin.v1.OutputsR\x05val"
    b'ue:\x028\x01"\xd7\x05\n\x08JobEvent\x12\x10\n\x03seq\x18\x01 \x01(\x04R\x03seq\x12\x12\n\x04time\x18\x02 \x01(\x01R\x04time\x123\n\x07started\x18\x03'
    b" \x01(\x0b2\x17.cicd.plugin.v1.StartedH\x00R\x07started\x12,\n\x03log\x18\x04 \x01(\x0b2\x18.cicd.plugin.v1"
    b".LogBatchH\x00R\x03log\x12-\n\x05group\x18\x05 \x01(\x0b2\x15.cicd.plugin.v1.GroupH\x00R\x05group\x126\n\x08pro"
    b"gress\x18\x06 \x01(\x0b2\x18.cicd.plugin.v1.ProgressH\x00R\x08progress\x120\n\x06output\x18\x07 \x01(\x0b2\x16.ci"
    b"cd.plugin.v1.OutputH\x00R\x06output\x126\n\x08artifact\x18\x08 \x01(\x0b2\x18.cicd.plugin.v1.Artif"
    b"actH\x00R\x08artifact\x12<\n\nannotation\x18\t \x01(\x0b2\x1a.cicd.plugin.v1.AnnotationH\x00R\nann"
    b"otation\x120\n\x06metric\x18\n \x01(\x0b2\x16.cicd.plugin.v1.MetricH\x00R\x06metric\x12-\n\x05spawn\x18\x0b \x01"
    b"(\x0b2\x15.cicd.plugin.v1.SpawnH\x00R\x05spawn\x12'\n\x03ask\x18\x0c \x01(\x0b2\x13.cicd.plugin.v1.AskH\x00"
    b"R\x03ask\x129\n\theartbeat\x18\r \x01(\x0b2\x19.cicd.plugin.v1.HeartbeatH\x00R\theartbeat\x123\n\x07su"
    b"mmary\x18\x0e \x01(\x0b2\x17.cicd.plugin.v1.SummaryH\x00R\x07summary\x120\n\x06result\x18\x0f \x01(\x0b2\x16.cicd"
    b'.plugin.v1.ResultH\x00R\x06resultB\x07\n\x05event"\t\n\x07Started" \n\x08LogBatch\x12\x14\n\x05lines\x18\x01'
    b' \x03(\x0cR\x05lines"/\n\x05Group\x12\x14\n\x05title\x18\x01 \x01(\tR\x05title\x12\x10\n\x03end\x18\x02 \x01(\x08R\x03end":\n\x08Progre'
    b'ss\x12\x1a\n\x08fraction\x18\x01 \x01(\x01R\x08fraction\x12\x12\n\x04text\x18\x02 \x01(\tR\x04text"2\n\x06Output\x12\x12\n\x04name\x18\x01'
    b' \x01(\tR\x04name\x12\x14\n\x05value\x18\x02 \x01(\tR\x05value"2\n\x08Artifact\x12\x12\n\x04name\x18\x01 \x01(\tR\x04name\x12\x12\n\x04pa'
    b'th\x18\x02 \x01(\tR\x04path"^\n\nAnnotation\x12\x14\n\x05level\x18\x01 \x01(\tR\x05level\x12\x12\n\x04path\x18\x02 \x01(\tR\x04path'
    b'\x12\x12\n\x04line\x18\x03 \x01(\rR\x04line\x12\x12\n\x04text\x18\x04 \x01(\tR\x04text"F\n\x06Metric\x12\x12\n\x04name\x18\x01 \x01(\tR\x04name'
    b"\x12\x14\n\x05value\x18\x02 \x01(\x01R\x05value\x12\x12\n\x04unit\x18\x03 \x01(\tR\x04unit\"0\n\x05Spawn\x12'\n\x04jobs\x18\x01 \x03(\x0b2\x13.ci"
    b'cd.plugin.v1.JobR\x04jobs"q\n\x03Ask\x12\x0e\n\x02id\x18\x01 \x01(\tR\x02id\x12\x12\n\x04text\x18\x02 \x01(\tR\x04text\x12)\n\x04f'
    b'orm\x18\x03 \x03(\x0b2\x15.cicd.plugin.v1.ParamR\x04form\x12\x1b\n\ttimeout_s\x18\x04 \x01(\x01R\x08timeoutS"\x0b\n'
    b'\tHeartbeat"%\n\x07Summary\x12\x1a\n\x08markdown\x18\x01 \x01(\tR\x08markdown"\xc8\x02\n\x06Result\x12.\n\x06status'
    b"\x18\x01 \x01(\x0e2\x16.cicd.plugin.v1.StatusR\x06status\x12\x18\n\x07message\x18\x02 \x01(\tR\x07message\x12>\n\x0cfa"
    b"ilure_kind\x18\x03 \x01(\x0e2\x1b.cicd.plugin.v1.FailureKindR\x0bfailureKind\x12\x1b\n\texit_cod"
    b"e\x18\x04 \x01(\x05R\x08exitCode\x12=\n\x07outputs\x18\x05 \x03(\x0b2#.cicd.plugin.v1.Result.OutputsEntr"
    b"yR\x07outputs\x12\x1c\n\ttraceback\x18\x06 \x01(\tR\ttraceback\x1a:\n\x0cOutputsEntry\x12\x10\n\x03key\x18\x01 \x01(\tR"
    b'\x03key\x12\x14\n\x05value\x18\x02 \x01(\tR\x05value:\x028\x01"@\n\rCancelRequest\x12\x17\n\x07grace_s\x18\x01 \x01(\x01R\x06grac'
    b'eS\x12\x16\n\x06reason\x18\x02 \x01(\tR\x06reason"\x10\n\x0eCancelResponse"\xad\x01\n\x0cReplyRequest\x12\x10\n\x03ask\x18\x01'
    b" \x01(\tR\x03ask\x12@\n\x06values\x18\x02 \x03(\x0b2(.cicd.plugin.v1.ReplyRequest.ValuesEntryR\x06v"
    b"alues\x12\x0e\n\x02by\x18\x03 \x01(\tR\x02by\x1a9\n\x0bValuesEntry\x12\x10\n\x03key\x18\x01 \x01(\tR\x03key\x12\x14\n\x05value\x18\x02 \x01(\tR"
    b'\x05value:\x028\x01"\x0f\n\rReplyResponse*}\n\tParamType\x12\x1a\n\x16PARAM_TYPE_UNSPECIFIED\x10\x00\x12\x15'
    b"\n\x11PARAM_TYPE_STRING\x10\x01\x12\x12\n\x0ePARAM_TYPE_INT\x10\x02\x12\x14\n\x10PARAM_TYPE_FLOAT\x10\x03\x12\x13\n\x0fPAR"
    b"AM_TYPE_BOOL\x10\x04*C\n\x08Checkout\x12\x11\n\rCHECKOUT_TREE\x10\x00\x12\x10\n\x0cCHECKOUT_GIT\x10\x01\x12\x12\n\x0eCHE"
    b"CKOUT_EMPTY\x10\x02*C\n\x06NeedOn\x12\x13\n\x0fNEED_ON_SUCCESS\x10\x00\x12\x13\n\x0fNEED_ON_FAILURE\x10\x01\x12\x0f\n\x0bN"
    b"EED_ON_ANY\x10\x02*_\n\x06Status\x12\x16\n\x12STATUS_UNSPECIFIED\x10\x00\x12\x14\n\x10STATUS_SUCCEEDED\x10\x01\x12\x11"
    b"\n\rSTATUS_FAILED\x10\x02\x12\x14\n\x10STATUS_CANCELLED\x10\x03*\xb5\x01\n\x0bFailureKind\x12\x1c\n\x18FAILURE_KIN"
    b"D_UNSPECIFIED\x10\x00\x12\x15\n\x11FAILURE_KIND_USER\x10\x01\x12\x1f\n\x1bFAILURE_KIND_INFRASTRUCTURE\x10"
    b"\x02\x12\x18\n\x14FAILURE_KIND_TIMEOUT\x10\x03\x12\x1e\n\x1aFAILURE_KIND_OUT_OF_MEMORY\x10\x04\x12\x16\n\x12FAILURE"
    b"_KIND_CRASH\x10\x052\xa8\x02\n\x08Pipeline\x12H\n\x08Describe\x12\x1f.cicd.plugin.v1.DescribeReques"
    b"t\x1a\x1b.cicd.plugin.v1.Description\x12C\n\x06RunJob\x12\x1d.cicd.plugin.v1.RunJobReques"
    b"t\x1a\x18.cicd.plugin.v1.JobEvent0\x01\x12G\n\x06Cancel\x12\x1d.cicd.plugin.v1.CancelRequest"
    b"\x1a\x1e.cicd.plugin.v1.CancelResponse\x12D\n\x05Reply\x12\x1c.cicd.plugin.v1.ReplyReques"
    b"t\x1a\x1d.cicd.plugin.v1.ReplyResponseb\x06proto3"
)

ParamType = EnumTypeWrapper(DESCRIPTOR.enum_types_by_name["ParamType"])
PARAM_TYPE_UNSPECIFIED = 0
PARAM_TYPE_STRING = 1
PARAM_TYPE_INT = 2
PARAM_TYPE_FLOAT = 3
PARAM_TYPE_BOOL = 4
Checkout = EnumTypeWrapper(DESCRIPTOR.enum_types_by_name["Checkout"])
CHECKOUT_TREE = 0
CHECKOUT_GIT = 1
CHECKOUT_EMPTY = 2
NeedOn = EnumTypeWrapper(DESCRIPTOR.enum_types_by_name["NeedOn"])
NEED_ON_SUCCESS = 0
NEED_ON_FAILURE = 1
NEED_ON_ANY = 2
Status = EnumTypeWrapper(DESCRIPTOR.enum_types_by_name["Status"])
STATUS_UNSPECIFIED = 0
STATUS_SUCCEEDED = 1
STATUS_FAILED = 2
STATUS_CANCELLED = 3
FailureKind = EnumTypeWrapper(DESCRIPTOR.enum_types_by_name["FailureKind"])
FAILURE_KIND_UNSPECIFIED = 0
FAILURE_KIND_USER = 1
FAILURE_KIND_INFRASTRUCTURE = 2
FAILURE_KIND_TIMEOUT = 3
FAILURE_KIND_OUT_OF_MEMORY = 4
FAILURE_KIND_CRASH = 5
DescribeRequest = message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name["DescribeRequest"])
Description = message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name["Description"])
Param = message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name["Param"])
Trigger = message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name["Trigger"])
Job = message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name["Job"])
Need = message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name["Need"])
Retry = message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name["Retry"])
Git = message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name["Git"])
Outputs = message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name["Outputs"])
RunJobRequest = message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name["RunJobRequest"])
JobEvent = message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name["JobEvent"])
Started = message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name["Started"])
LogBatch = message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name["LogBatch"])
Group = message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name["Group"])
Progress = message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name["Progress"])
Output = message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name["Output"])
Artifact = message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name["Artifact"])
Annotation = message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name["Annotation"])
Metric = message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name["Metric"])
Spawn = message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name["Spawn"])
Ask = message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name["Ask"])
Heartbeat = message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name["Heartbeat"])
Summary = message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name["Summary"])
Result = message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name["Result"])
CancelRequest = message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name["CancelRequest"])
CancelResponse = message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name["CancelResponse"])
ReplyRequest = message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name["ReplyRequest"])
ReplyResponse = message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name["ReplyResponse"])
