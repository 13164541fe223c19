"""A person's own data to take along (PIPL §45, 网络数据安全管理条例 §25): one JSON document, and the same on paper.

  document  the JSON document, of a published form (`subject-export-v1.json`); pure
  sheet     the document as a PDF with its fonts embedded, Chinese and Tibetan; pure

Both are made of what the subject's entrance of the gate has opened; nothing here reads a database.
"""
