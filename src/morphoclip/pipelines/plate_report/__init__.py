"""Plates to profiles and a report, without a trained model."""

from morphoclip.pipelines.plate_report.pipeline import create_pipeline

__all__ = ["create_pipeline"]
