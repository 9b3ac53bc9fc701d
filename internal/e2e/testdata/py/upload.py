"""Uploads one file with tuspy and says how it ended.

    upload.py '{"endpoint": "...", "options": {"file_path": "...", ...}}'

"options" goes to tuspy's uploader as it is. "storage" names a file in which
tuspy remembers URLs. "async" takes the uploader that is built on aiohttp. The
line on standard output is the upload's URL, which is also told when the upload
has failed.
"""

import asyncio
import json
import sys

from tusclient import client, exceptions
from tusclient.storage import filestorage


def uploader(job):
    options = job["options"]
    if "storage" in job:
        options |= {"store_url": True, "url_storage": filestorage.FileStorage(job["storage"])}
    tus = client.TusClient(job["endpoint"])
    return tus.async_uploader(**options) if job.get("async") else tus.uploader(**options)


def run(job):
    upload = uploader(job)
    try:
        result = upload.upload()
        if job.get("async"):
            asyncio.run(result)
    finally:
        print(upload.url)


try:
    run(json.loads(sys.argv[1]))
except exceptions.TusCommunicationError as error:
    sys.exit(f"{type(error).__name__}: {error}")
