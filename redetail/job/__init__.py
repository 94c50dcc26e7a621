"""The job: everything that is to be done, as one value, and the documents that hold a job."""

from redetail.job.files import REPORT_VERSION, read_job
from redetail.job.job import Job
from redetail.job.requested import RequestedSettings, Subject
from redetail.job.search import search
from redetail.job.writing import text_of, to_toml

__all__ = ["REPORT_VERSION", "Job", "RequestedSettings", "Subject", "read_job", "search", "text_of", "to_toml"]
