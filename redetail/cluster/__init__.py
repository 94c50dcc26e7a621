"""Runs on several machines or several GPUs: Ray decides where a task runs, and an engine waits in each worker."""

from redetail.cluster.connection import Cluster
from redetail.cluster.executor import RayExecutor
from redetail.cluster.pool import EnginePool

__all__ = ["Cluster", "EnginePool", "RayExecutor"]
