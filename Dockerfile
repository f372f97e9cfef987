# CrossRay's page and API on port 8000, on a CPU.
#
#   docker build -t crossray .
#   docker run --rm --read-only --tmpfs /tmp -p 127.0.0.1:8000:8000 crossray
#
# This installs the torch that the package index offers for the platform. README says how to get
# the much smaller CPU build of torch and torchvision; give both to pip before the last RUN.

FROM python:3.11-slim

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 NO_ALBUMENTATIONS_UPDATE=1

RUN useradd --system --uid 10001 --no-create-home crossray
WORKDIR /opt/crossray

COPY pyproject.toml README.md LICENSE ./
COPY model model
COPY data_prep data_prep
COPY training training
COPY app app
COPY crossray crossray
RUN python -m pip install ".[accounts,postgres]"

USER crossray
WORKDIR /
# Where the converted checkpoint lies; a volume here saves the conversion at the next start.
ENV CROSSRAY_CACHE=/tmp/crossray
# Inside a container only the container's own address can be published.
ENV CROSSRAY_HOST=0.0.0.0
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:%s/readyz' % os.environ.get('CROSSRAY_PORT', '8000'), timeout=4)"]
ENTRYPOINT ["crossray"]
CMD ["serve"]
