"""A model that is trained, read back to predict with."""

from pipeline.artifacts import manifest
from pipeline.artifacts.jobs import Job
from pipeline.learn.inference import Predictor, build_predictor, load_weights
from pipeline.learn.run_record import empty_model, recorded_choice
from pipeline.learn.runtime import build_runtime


def load_predictor(job: Job, classes: int) -> Predictor:
    """Read a job's model; raises DataError where its run or its weights aren't what was written."""
    runtime = build_runtime(job.member.train, recorded_choice(job.run_folder))
    model = empty_model(job.member, classes)
    load_weights(model, manifest.verified_bytes(job.file("model.safetensors"), job.model_manifest))
    return build_predictor(model, job.member.train, runtime)
