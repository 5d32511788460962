"""Features of one vehicle's battery over time: what physics expects, and how far the readings are from it.

``recipe`` holds the fitted coefficients as they lie in the sidecar, ``filters`` the lags that need none, ``extractor``
turns readings into features, ``regressors`` into what the coefficients are fitted on.
"""
