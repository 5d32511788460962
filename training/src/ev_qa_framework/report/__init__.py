"""A recording under a model, for people: events with their reasons, pictures, calibration, drift, data quality."""

from ev_qa_framework.report.report import ModelReport, report_on

__all__ = ["ModelReport", "report_on"]
