import cicd_sdk as ci

pipeline = ci.Pipeline("hello", description="says hello")
pipeline.param("name", default="world")


@pipeline.job
def greet(ctx: ci.Context) -> dict[str, str]:
    ctx.run("echo", f"hello, {ctx.params['name']}")
    return {"greeted": ctx.params["name"]}


@pipeline.job(needs=[greet], timeout="1m")
def report(ctx: ci.Context) -> None:
    ctx.log("greeted", name=ctx.needs["greet"]["greeted"], commit=ctx.git.commit[:12])


if __name__ == "__main__":
    pipeline.main()
