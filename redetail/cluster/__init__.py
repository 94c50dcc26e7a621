"""Runs on several machines or GPUs: Ray decides where a task runs, and each worker holds an engine."""

from redetail.cluster.connection import Cluster
from redetail.cluster.executor import RayExecutor
from redetail.cluster.pool import EnginePool

__all__ = ["Cluster", "EnginePool", "RayExecutor"]
