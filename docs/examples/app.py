"""A program like many: sqlite, zlib, json and regular expressions. It waits for a signal when it has made its objects."""
import json
import re
import signal
import sqlite3
import zlib

db = sqlite3.connect(":memory:")
db.execute("create table word (text, note)")
db.executemany("insert into word values (?, ?)", (("w%d" % i, "x" * (i % 900)) for i in range(9000)))
seen = [re.sub("[aeiou]", "", "document %d" % i) for i in range(30000)]
packed = [zlib.compress(json.dumps({"id": i, "list": list(range(i % 50))}).encode()) for i in range(20000)]
signal.pause()
