# What differs where a scheduler runs the jobs: SLURM, Kubernetes. Profiles: profiles/README.md.

SCHEDULED = workflow.remote_exec or workflow.resource_settings.nodes is not None

if workflow.remote_exec:
    # The job may have waited for longer than its run lived.
    if successor := successor_of_run():
        raise WorkflowError(
            f"the run that submitted this job is gone, and {successor} has taken over: it has jobs "
            "of its own, so this one ends"
        )
    note_submission()


def rated_as():
    """The device of workflow/rates.yaml that jobs run on: a profile's default resource `rates`."""
    given = (workflow.resource_settings.default_resources or {}).get("rates")
    if given is not None:
        return given.raw
    return "cpu-core" if study.config.device == "cpu" else "h100"


def asked(rule):
    """Resources `turns`, `runtime` and `mem_mb` of a rule; a local run has none."""
    return requests.of(rule) if SCHEDULED else {}


def streams_here():
    """The streams that jobs of this process train, which another process has planned."""
    jobs = workflow.dag_settings.target_jobs
    return [job.wildcards_dict["stream"] for job in jobs if job.rulename == "train_together"]


def adopt_finished():
    """Let no cell be trained again that is finished and not known to be."""
    asked = streams.asked()
    owner = workflow.get_rule("cell")
    files = [IOFile(study.metrics(cell), rule=owner) for cell in asked]
    begun = workflow.async_run(workflow.persistence.incomplete(SimpleNamespace(output=files)))
    mark_unnoted(study, [cell for cell in asked if not kept.forced(cell)], map(str, begun))


streams = Streams(
    study,
    lambda: workflow.dag_settings.targets,  # known once the plan is made
    study.config.cells_per_stream,
    None if workflow.is_main_process else streams_here,
)
if SCHEDULED:
    try:
        requests = Requests(
            study, streams.cells, lambda cell: bool(streams.inputs(cell)), Rates.read(), rated_as()
        )
    except ValueError as error:
        raise WorkflowError(f"default resource `rates`: {error}") from None
